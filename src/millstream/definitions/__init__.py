"""What a project says about its data and models: pure records, no behaviour beyond reading what was written.

A definition names others by name, so every record is plain data: it can be hashed, sent, stored in a release
and compared. Rooms interpret the records; nothing here touches a table or a model.
"""
