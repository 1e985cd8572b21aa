//! The real world: clocks, sockets, threads, files.
