"""One script a version. A script is never changed once it was released, and uses no table of `schema`."""
