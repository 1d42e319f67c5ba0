"""What is left to give and what is used: pools and the choice among them, quotas, bytes."""
