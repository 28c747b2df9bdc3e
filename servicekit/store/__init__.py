"""How both services open, migrate and copy SQLite files. No business logic, and no table but `schema_version`."""
