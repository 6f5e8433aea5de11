"""What people look at: pages, ECG paper, marked beats, traces over age, and their one style. Imports no method."""
