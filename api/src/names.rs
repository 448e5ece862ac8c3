//! The forms of names: DNS labels and subdomains, label keys and values, qualified names.
