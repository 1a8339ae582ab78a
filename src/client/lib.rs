//! The API as agents use it: several masters, watches that resume.
