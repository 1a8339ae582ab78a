//! Every controller: a folder each, and the table of them.
