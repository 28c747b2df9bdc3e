"""XMLTV in and out, pure: a streaming reader of light records, a reader of whole programmes, a writer."""
