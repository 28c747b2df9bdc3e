"""Rules and filters at work, pure: records of streams, chains of rules, sieves of filters, what comes shipped."""
