-- Registers 7 of the 99 platform connectors, as the registry described them then. Runs before the code.
-- millrace: re-runnable
--
-- PayPal to Reddit. The manifests promise one connection test and nothing else; working ones come in later
-- migrations. A connector or a version that is already registered is left alone.

insert into public.connector (id, slug, name, status, latest_version_id, created_at, is_platform)
values
    (
        '1bde0bc0-add9-5979-b01f-739cc971b28d', 'paypal', 'PayPal', 'beta',
        '9fe96a79-8bf6-5606-85f0-a637d287b689', '2025-12-19 16:35:26', true
    ),
    (
        '8e149f4b-e37a-5211-91a4-f67ddabb2a97', 'pinterest', 'Pinterest', 'beta',
        'd15864f3-9666-5725-9f61-ae10600d9833', '2025-12-19 16:35:26', true
    ),
    (
        '67b0394b-0ceb-5121-b411-5c77e0fd0afd', 'pipedrive', 'Pipedrive', 'beta',
        '4dc95f5d-849b-5237-b9c4-b6149ea8dc1b', '2025-12-19 16:35:26', true
    ),
    (
        '3e05fda0-1e35-5bf6-8c21-2f6b7a2f3bd8', 'quickbooks', 'QuickBooks', 'beta',
        '1e412586-2bd9-568b-82c7-0928a51b690b', '2025-12-19 16:35:26', true
    ),
    (
        'f41dc880-e9e2-5c39-9871-b2443789d15c', 'razorpay', 'Razorpay', 'beta',
        '2b5fc8d0-b3e3-50dc-81ed-59a61c2d2a0d', '2025-12-19 16:35:26', true
    ),
    (
        '32e02060-cefa-5fac-86b0-c3fc9ff2bee5', 'recurly', 'Recurly', 'beta',
        '17364652-43aa-5a29-bc34-dca6381bcab0', '2025-12-19 16:35:26', true
    ),
    (
        'a9668456-196d-58ee-a1f3-0a90e748dcfc', 'reddit', 'Reddit', 'beta',
        '5d8aa0a3-e6a8-5d4b-90a9-1c7d12f12592', '2025-12-19 16:35:26', true
    )
on conflict do nothing;

insert into public.connectorversion (id, connector_id, version, manifest, created_at)
select
    listed.id::uuid,
    connector.id,
    '1.0.0',
    jsonb_build_object(
        'name', connector.name,
        'slug', connector.slug,
        'version', '1.0.0',
        'description', listed.description,
        'category', listed.category,
        'status', 'beta',
        'nango', jsonb_build_object('enabled', true, 'provider_key', listed.provider_key),
        'oauth', jsonb_build_object(
            'authorization_url', 'https://api.nango.dev/oauth/' || listed.provider_key,
            'token_url', 'https://api.nango.dev/oauth/' || listed.provider_key || '/token',
            'default_scopes', '[]'::jsonb,
            'authorization_params', '{}'::jsonb
        ),
        'actions', jsonb_build_object(
            'test_connection', jsonb_build_object(
                'name', 'Test Connection',
                'description', 'Test the ' || connector.name || ' connection',
                'method', 'GET',
                'endpoint', '/test'
            )
        ),
        'triggers', '{}'::jsonb
    ),
    timestamp '2025-12-19 16:35:26'
from (
    values
        (
            '9fe96a79-8bf6-5606-85f0-a637d287b689', 'paypal',
            'E-commerce & Payments', 'paypal', 'PayPal: orders, invoices and payments'
        ),
        (
            'd15864f3-9666-5725-9f61-ae10600d9833', 'pinterest',
            'Social Media', 'pinterest', 'Pinterest: posts and audiences'
        ),
        (
            '4dc95f5d-849b-5237-b9c4-b6149ea8dc1b', 'pipedrive',
            'CRM & Sales', 'pipedrive', 'Pipedrive: contacts, deals and sales'
        ),
        (
            '1e412586-2bd9-568b-82c7-0928a51b690b', 'quickbooks',
            'E-commerce & Payments', 'quickbooks', 'QuickBooks: orders, invoices and payments'
        ),
        (
            '2b5fc8d0-b3e3-50dc-81ed-59a61c2d2a0d', 'razorpay',
            'E-commerce & Payments', 'razorpay', 'Razorpay: orders, invoices and payments'
        ),
        (
            '17364652-43aa-5a29-bc34-dca6381bcab0', 'recurly',
            'E-commerce & Payments', 'recurly', 'Recurly: orders, invoices and payments'
        ),
        (
            '5d8aa0a3-e6a8-5d4b-90a9-1c7d12f12592', 'reddit',
            'Social Media', 'reddit', 'Reddit: posts and audiences'
        )
) as listed (id, slug, category, provider_key, description)
join public.connector on connector.slug = listed.slug
where connector.owner_id is null
    and not exists (
        select
        from public.connectorversion as known
        where known.connector_id = connector.id
            and known.version = '1.0.0'
    )
on conflict do nothing;
