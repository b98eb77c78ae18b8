"""report.html: a search as one file to click through, see `page.leave`."""
