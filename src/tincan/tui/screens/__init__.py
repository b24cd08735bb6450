"""One module for each screen. A screen composes, binds and forwards."""
