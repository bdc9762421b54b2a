"""A plugin of holdstill's for OpenLDAP."""
