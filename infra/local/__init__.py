"""The same functions on this machine: embedded Postgres, object store, doorbells, gateway and the Lambda runtime."""
