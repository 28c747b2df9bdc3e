"""The rules of a guide, pure: values, cleaning, retention, matching, losses."""
