// The app runs two folders below the checkout, whose node_modules it uses.
export default { turbopack: { root: new URL("../..", import.meta.url).pathname } };
