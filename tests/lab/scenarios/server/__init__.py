"""Scenarios on a host that is a server itself: it has a database. Nothing here runs outside."""
