"""The other ends of a connection: clients and servers that the end-to-end tests put around Keystile."""
