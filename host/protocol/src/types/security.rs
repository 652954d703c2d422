//! How callers of an agent authenticate, as its card declares it. Nothing here authenticates anybody.

use std::collections::BTreeMap;

use serde::de::Deserializer;

use super::wire::Wire;

union! {
    /// One way to authenticate.
    pub enum SecurityScheme {
        /// A key in a header, query parameter or cookie.
        #[wire("apiKeySecurityScheme", "api_key_security_scheme")]
        ApiKey(ApiKeySecurityScheme),
        /// An HTTP authentication scheme.
        #[wire("httpAuthSecurityScheme", "http_auth_security_scheme")]
        HttpAuth(HttpAuthSecurityScheme),
        /// OAuth 2.0.
        #[wire("oauth2SecurityScheme", "oauth2_security_scheme")]
        OAuth2(OAuth2SecurityScheme),
        /// OpenID Connect discovery.
        #[wire("openIdConnectSecurityScheme", "open_id_connect_security_scheme")]
        OpenIdConnect(OpenIdConnectSecurityScheme),
        /// TLS client certificates.
        #[wire("mtlsSecurityScheme", "mtls_security_scheme")]
        MutualTls(MutualTlsSecurityScheme),
    }
}

union! {
    /// How an OAuth token is obtained.
    pub enum OAuthFlows {
        /// By a person in a browser.
        #[wire("authorizationCode", "authorization_code")]
        AuthorizationCode(AuthorizationCodeOAuthFlow),
        /// By a program.
        #[wire("clientCredentials", "client_credentials")]
        ClientCredentials(ClientCredentialsOAuthFlow),
        /// Deprecated by OAuth.
        #[wire("implicit", "implicit")]
        Implicit(ImplicitOAuthFlow),
        /// Deprecated by OAuth.
        #[wire("password", "password")]
        Password(PasswordOAuthFlow),
        /// By a person on another device.
        #[wire("deviceCode", "device_code")]
        DeviceCode(DeviceCodeOAuthFlow),
    }
}

/// There is no flow that a missing one could mean.
impl Wire for OAuthFlows {
    fn absent() -> Option<Self> {
        None
    }

    fn is_absent(&self) -> bool {
        false
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::Deserialize::deserialize(deserializer)
    }
}

object! {
    /// A key in a header, query parameter or cookie.
    #[derive(Default)]
    pub struct ApiKeySecurityScheme {
        /// For people.
        #[wire("description", plain)]
        pub description: Option<String>,
        /// `query`, `header` or `cookie`.
        #[wire("location", required)]
        pub location: String,
        /// Of the header, parameter or cookie.
        #[wire("name", required)]
        pub name: String,
    }

    /// An HTTP authentication scheme.
    #[derive(Default)]
    pub struct HttpAuthSecurityScheme {
        /// For people.
        #[wire("description", plain)]
        pub description: Option<String>,
        /// Such as `Bearer`.
        #[wire("scheme", required)]
        pub scheme: String,
        /// Such as `JWT`; a hint.
        #[wire("bearerFormat", plain)]
        pub bearer_format: Option<String>,
    }

    /// OAuth 2.0.
    pub struct OAuth2SecurityScheme {
        /// For people.
        #[wire("description", plain)]
        pub description: Option<String>,
        /// The one flow.
        #[wire("flows", required)]
        pub flows: OAuthFlows,
        /// RFC 8414 metadata.
        #[wire("oauth2MetadataUrl", plain)]
        pub oauth2_metadata_url: Option<String>,
    }

    /// OpenID Connect discovery.
    #[derive(Default)]
    pub struct OpenIdConnectSecurityScheme {
        /// For people.
        #[wire("description", plain)]
        pub description: Option<String>,
        /// The discovery document.
        #[wire("openIdConnectUrl", required)]
        pub open_id_connect_url: String,
    }

    /// TLS client certificates.
    #[derive(Default)]
    pub struct MutualTlsSecurityScheme {
        /// For people.
        #[wire("description", plain)]
        pub description: Option<String>,
    }

    /// By a person in a browser.
    #[derive(Default)]
    pub struct AuthorizationCodeOAuthFlow {
        /// Where the person goes.
        #[wire("authorizationUrl", required)]
        pub authorization_url: String,
        /// Where the code becomes a token.
        #[wire("tokenUrl", required)]
        pub token_url: String,
        /// Where a token is renewed.
        #[wire("refreshUrl", plain)]
        pub refresh_url: Option<String>,
        /// Descriptions by scope.
        #[wire("scopes", required)]
        pub scopes: BTreeMap<String, String>,
        /// Whether PKCE is demanded.
        #[wire("pkceRequired", plain)]
        pub pkce_required: bool,
    }

    /// By a program.
    #[derive(Default)]
    pub struct ClientCredentialsOAuthFlow {
        /// Where credentials become a token.
        #[wire("tokenUrl", required)]
        pub token_url: String,
        /// Where a token is renewed.
        #[wire("refreshUrl", plain)]
        pub refresh_url: Option<String>,
        /// Descriptions by scope.
        #[wire("scopes", required)]
        pub scopes: BTreeMap<String, String>,
    }

    /// Deprecated by OAuth.
    #[derive(Default)]
    pub struct ImplicitOAuthFlow {
        /// Where the person goes.
        #[wire("authorizationUrl", plain)]
        pub authorization_url: String,
        /// Where a token is renewed.
        #[wire("refreshUrl", plain)]
        pub refresh_url: Option<String>,
        /// Descriptions by scope.
        #[wire("scopes", plain)]
        pub scopes: BTreeMap<String, String>,
    }

    /// Deprecated by OAuth.
    #[derive(Default)]
    pub struct PasswordOAuthFlow {
        /// Where a password becomes a token.
        #[wire("tokenUrl", plain)]
        pub token_url: String,
        /// Where a token is renewed.
        #[wire("refreshUrl", plain)]
        pub refresh_url: Option<String>,
        /// Descriptions by scope.
        #[wire("scopes", plain)]
        pub scopes: BTreeMap<String, String>,
    }

    /// By a person on another device.
    #[derive(Default)]
    pub struct DeviceCodeOAuthFlow {
        /// Where the code is asked for.
        #[wire("deviceAuthorizationUrl", required)]
        pub device_authorization_url: String,
        /// Where the code becomes a token.
        #[wire("tokenUrl", required)]
        pub token_url: String,
        /// Where a token is renewed.
        #[wire("refreshUrl", plain)]
        pub refresh_url: Option<String>,
        /// Descriptions by scope.
        #[wire("scopes", required)]
        pub scopes: BTreeMap<String, String>,
    }
}
