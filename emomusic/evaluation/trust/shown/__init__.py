"""The check as tables and pictures, beside what others report."""
