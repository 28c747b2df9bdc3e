"""The rules of channels, pure: values, identity, numbering."""
