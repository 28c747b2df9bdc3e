"""All SQL of the guide service: connection, schema, and one module for each noun."""
