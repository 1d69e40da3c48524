"""From what is asked to what is given to the model: targets, plan, form."""
