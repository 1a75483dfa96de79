"""What differs between Linux, macOS and Windows: launching, killing, usage, fingerprint."""
