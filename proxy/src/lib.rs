//! The service: Flight SQL, sessions, configuration and the command line.
