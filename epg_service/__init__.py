"""The guide service: imports XMLTV from many providers, keeps it clean, answers a REST API, publishes XMLTV."""
