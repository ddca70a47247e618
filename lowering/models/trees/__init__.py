"""Ensembles of decision trees: read from what XGBoost and LightGBM write, computed level by level or as bits."""
