"""Files and vector stores over HTTP: collections that clients upload, built into the index by a child process."""
