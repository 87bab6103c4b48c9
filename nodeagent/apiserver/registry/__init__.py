"""What kinds this API has: names, verbs, selectable fields, subresources, columns, schemas."""
