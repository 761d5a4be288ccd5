"""Pixels and touch: QML screens and the Python objects they show."""
