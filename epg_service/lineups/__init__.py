"""A lineup of the stream service met with the guide: matching, and publishing of XMLTV files."""
