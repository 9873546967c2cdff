export default { kit: { typescript: { config: () => undefined } } };
