"""The columns that `kubectl get` shows, one file per family of kinds."""
