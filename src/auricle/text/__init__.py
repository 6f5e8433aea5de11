"""Reports: cleaned, brought to English, parsed into findings, and embedded once by a frozen tower."""
