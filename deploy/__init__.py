"""Running what was packaged: the servers, the comparison between them, and the demonstration of the whole road."""
