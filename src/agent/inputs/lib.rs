//! What a container is given: command, environment, files of volumes.
