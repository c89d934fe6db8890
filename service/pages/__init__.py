"""The pages: what an approver and an operator see in a browser, rendered here, with nothing from elsewhere."""
