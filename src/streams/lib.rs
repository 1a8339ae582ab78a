//! Streams over one connection: SPDY/3.1 and WebSocket, for exec, attach and port-forward.
