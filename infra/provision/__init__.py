"""Provisioning: what a Supabase project needs beside the migrations: buckets, passwords, the storage trigger."""
