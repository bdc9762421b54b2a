"""Scenarios on a host that is a server itself: it has a database, and Bacula. Nothing here runs outside."""
