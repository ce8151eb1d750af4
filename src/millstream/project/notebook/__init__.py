"""What a person in a notebook holds: tables, training sets and runs that show themselves.

Each file is one word of the door: ``tables`` (read at a version or an instant), ``sets`` (training sets, cached by pins
and definitions), ``why`` (the facts behind one number), ``runs`` and ``compare``, ``adopt`` (write a changed definition
down), ``starter`` and ``stock`` (JupyterLab and MLflow). They carry no arithmetic of their own: the rooms do.
"""
