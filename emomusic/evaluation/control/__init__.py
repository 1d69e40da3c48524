"""Control of each attribute: what is asked, what is achieved, what else moves."""
