"""All SQL of the stream service: connection, schema, and one module for each noun."""
