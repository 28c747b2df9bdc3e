"""Who may watch: users in memory, tries that are limited, the one rule of access, and seats of connection limits."""
