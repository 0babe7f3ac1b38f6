-- Registers 7 of the 99 platform connectors, as the registry described them then. Runs before the code.
-- millrace: re-runnable
--
-- Google Calendar to Imgur. The manifests promise one connection test and nothing else; working ones come in later
-- migrations. A connector or a version that is already registered is left alone.

insert into public.connector (id, slug, name, status, latest_version_id, created_at, is_platform)
values
    (
        'eb08a11f-efbf-5fa8-ab9b-03782313f66f', 'google-calendar', 'Google Calendar', 'beta',
        'e6c27675-2bf2-5d1c-8a6d-e0f8115697a2', '2025-12-19 15:54:06', true
    ),
    (
        '846f7e83-06c9-5817-b92f-adae941b65b0', 'google-cloud-storage', 'Google Cloud Storage', 'beta',
        '1bdaf5b1-bed6-5a01-ab04-272fc5c9cbcd', '2025-12-19 15:54:06', true
    ),
    (
        'cfd9a287-dbb9-5d98-967f-d5e33b64dc79', 'google-drive', 'Google Drive', 'beta',
        '3b658b9c-b3b8-5a73-99c0-22aa91acaa73', '2025-12-19 15:54:06', true
    ),
    (
        '299fc7e0-0a0d-5eb2-92f3-5ea5f2e801e7', 'help-scout', 'Help Scout', 'beta',
        'f0ab77a7-c1b8-5807-9909-0819564c7796', '2025-12-19 15:54:06', true
    ),
    (
        'e0929301-9446-5e7d-a5dd-699cd2e8a95d', 'hubspot', 'HubSpot', 'beta',
        'ec6ed17d-2a9f-5e91-ae93-0dc821188e29', '2025-12-19 15:54:06', true
    ),
    (
        'ee745b8d-d96e-53ae-a6f1-fb10e69a5116', 'hugging-face', 'Hugging Face', 'beta',
        '976d6bd1-5582-5c95-855a-849d75e982a8', '2025-12-19 15:54:06', true
    ),
    (
        '951db059-4c2f-5541-8756-13bb0a0adcaf', 'imgur', 'Imgur', 'beta',
        '815e875c-4dda-577b-97c5-7dc366601de4', '2025-12-19 15:54:06', true
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
    timestamp '2025-12-19 15:54:06'
from (
    values
        (
            'e6c27675-2bf2-5d1c-8a6d-e0f8115697a2', 'google-calendar',
            'Calendar & Scheduling', 'google-calendar', 'Google Calendar: calendars and appointments'
        ),
        (
            '1bdaf5b1-bed6-5a01-ab04-272fc5c9cbcd', 'google-cloud-storage',
            'File Storage & Cloud', 'gcs', 'Google Cloud Storage: stored files'
        ),
        (
            '3b658b9c-b3b8-5a73-99c0-22aa91acaa73', 'google-drive',
            'File Storage & Cloud', 'google-drive', 'Google Drive: stored files'
        ),
        (
            'f0ab77a7-c1b8-5807-9909-0819564c7796', 'help-scout',
            'Communication & Collaboration', 'helpscout', 'Help Scout: messages and conversations'
        ),
        (
            'ec6ed17d-2a9f-5e91-ae93-0dc821188e29', 'hubspot',
            'CRM & Sales', 'hubspot', 'HubSpot: contacts, deals and sales'
        ),
        (
            '976d6bd1-5582-5c95-855a-849d75e982a8', 'hugging-face',
            'AI & Machine Learning', 'huggingface', 'Hugging Face: models'
        ),
        (
            '815e875c-4dda-577b-97c5-7dc366601de4', 'imgur',
            'File Storage & Cloud', 'imgur', 'Imgur: stored files'
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
