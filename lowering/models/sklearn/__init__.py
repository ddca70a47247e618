"""scikit-learn's estimators: recognised by their classes, computed as their documentation says."""
