-- Registers 7 of the 99 platform connectors, as the registry described them then. Runs before the code.
-- millrace: re-runnable
--
-- Snowflake to TikTok. The manifests promise one connection test and nothing else; working ones come in later
-- migrations. A connector or a version that is already registered is left alone.

insert into public.connector (id, slug, name, status, latest_version_id, created_at, is_platform)
values
    (
        '4b219405-b30a-51ed-8be0-a39ed579f362', 'snowflake', 'Snowflake', 'beta',
        'af0c08cd-a08a-5b8f-af9f-f9aa025d66f1', '2025-12-19 16:37:04', true
    ),
    (
        '813cd2cd-369a-5282-8fa0-3b38679c9c62', 'square', 'Square', 'beta',
        '38428daa-1f19-57ee-8f49-bf033f0e9bc2', '2025-12-19 16:37:04', true
    ),
    (
        'a029844a-6e4e-55ef-93af-815b0cf60b22', 'stripe', 'Stripe', 'beta',
        '93e0e510-7172-5037-a417-12314b161bb8', '2025-12-19 16:37:04', true
    ),
    (
        'c9946037-e301-568b-9b73-79725f66e389', 'tableau', 'Tableau', 'beta',
        '724b6508-e296-56a8-a6ce-5749965311e6', '2025-12-19 16:37:04', true
    ),
    (
        'eefc1213-1797-5cea-96e3-5414f9456521', 'telegram', 'Telegram', 'beta',
        '533912f4-d746-5e15-a6ac-dbe40f875e28', '2025-12-19 16:37:04', true
    ),
    (
        '588977c0-8202-5611-b01d-010305fefc88', 'terraform-cloud', 'Terraform Cloud', 'beta',
        '8d44fc78-89fa-50f3-9b2d-94220e6d4b38', '2025-12-19 16:37:04', true
    ),
    (
        'ed72a34f-b966-504b-8575-7a3ee12f9dad', 'tiktok', 'TikTok', 'beta',
        '686673d6-5fd9-5427-8062-3233a3490fed', '2025-12-19 16:37:04', true
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
    timestamp '2025-12-19 16:37:04'
from (
    values
        (
            'af0c08cd-a08a-5b8f-af9f-f9aa025d66f1', 'snowflake',
            'Analytics & Data', 'snowflake', 'Snowflake: data and reports'
        ),
        (
            '38428daa-1f19-57ee-8f49-bf033f0e9bc2', 'square',
            'E-commerce & Payments', 'square', 'Square: orders, invoices and payments'
        ),
        (
            '93e0e510-7172-5037-a417-12314b161bb8', 'stripe',
            'Payments', 'stripe', 'Stripe: payments'
        ),
        (
            '724b6508-e296-56a8-a6ce-5749965311e6', 'tableau',
            'Analytics & Data', 'tableau', 'Tableau: data and reports'
        ),
        (
            '533912f4-d746-5e15-a6ac-dbe40f875e28', 'telegram',
            'Communication & Collaboration', 'telegram', 'Telegram: messages and conversations'
        ),
        (
            '8d44fc78-89fa-50f3-9b2d-94220e6d4b38', 'terraform-cloud',
            'Development & Code', 'terraform', 'Terraform Cloud: code, builds and infrastructure'
        ),
        (
            '686673d6-5fd9-5427-8062-3233a3490fed', 'tiktok',
            'Social Media', 'tiktok', 'TikTok: posts and audiences'
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
