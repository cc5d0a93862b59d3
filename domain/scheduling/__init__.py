"""Who runs where: a fold of views and one pure decision function."""
