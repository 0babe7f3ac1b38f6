"""Takes over a database of the system we replace: same tables, same rows, and then as safe as a new one.

``adoption`` is the order of things; it can be interrupted anywhere and run again. ``checks`` refuses before anything is
changed; ``clear_text`` seals and moves secrets; ``ahead`` does without long locks what the migrations would do with
them; ``people`` links users to their sign-in; ``definitions`` looks at the workflows; ``history`` says how to repair
the Supabase CLI's ledger.
"""
